output "role" {
  description = "What `aws-actions/configure-aws-credentials` is told as role-to-assume."
  value       = aws_iam_role.push.arn
}
