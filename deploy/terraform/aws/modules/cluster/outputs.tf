# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "name" {
  description = "The cluster, for `aws eks update-kubeconfig`."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Of the API."
  value       = aws_eks_cluster.this.endpoint
}

output "security_group" {
  description = "Of all nodes, and so of all pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
