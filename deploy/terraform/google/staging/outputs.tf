# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "cluster" {
  description = "For `gcloud container clusters get-credentials --dns-endpoint`."
  value       = module.cluster.name
}

output "secrets" {
  description = "{workload: the name of its secret}."
  value       = module.secrets.names
}

output "store" {
  description = "The ClusterSecretStore: `terraform output -raw store | kubectl apply -f -`."
  value = yamlencode({
    apiVersion = "external-secrets.io/v1"
    kind       = "ClusterSecretStore"
    metadata   = { name = "secrets" }
    spec = {
      # Only from the namespace of the system.
      conditions = [{ namespaces = ["shop"] }]
      # No `auth`: the controller's own service account is the principal.
      provider = { gcpsm = { projectID = var.project } }
    }
  })
}
