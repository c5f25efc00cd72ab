# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "vpc" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "private_subnets" {
  description = "Where nodes and pods are."
  value       = aws_subnet.private[*].id
}

output "database_subnets" {
  description = "Where databases are."
  value       = aws_subnet.database[*].id
}
