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

output "database_admin" {
  description = "What the job of databases logs in with: `terraform output -raw database_admin | kubectl apply -f -`."
  value = yamlencode({
    apiVersion = "external-secrets.io/v1"
    kind       = "ExternalSecret"
    metadata   = { name = "database-admin", namespace = "shop" }
    spec = {
      refreshInterval = "15m"
      secretStoreRef  = { kind = "ClusterSecretStore", name = "secrets" }
      target          = { name = "database-admin", creationPolicy = "Owner" }
      data = [
        { secretKey = "PGUSER", remoteRef = { key = "shop-production-database-admin", property = "username" } },
        { secretKey = "PGPASSWORD", remoteRef = { key = "shop-production-database-admin", property = "password" } },
      ]
    }
  })
}

output "database" {
  description = "Where databases are."
  value       = module.databases.host
}

output "database_protected" {
  description = "Whether databases survive a slip of the hand, and the loss of a zone."
  value       = module.databases.protected
}
