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
