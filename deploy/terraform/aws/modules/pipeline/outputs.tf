# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "role" {
  description = "What `aws-actions/configure-aws-credentials` is told as role-to-assume."
  value       = aws_iam_role.push.arn
}
