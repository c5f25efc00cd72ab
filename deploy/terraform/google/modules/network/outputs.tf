# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "network" {
  description = "The network."
  value       = google_compute_network.this.id
}

output "nodes" {
  description = "The subnet of nodes."
  value       = google_compute_subnetwork.nodes.id
}

output "databases" {
  description = "The network, once databases can be in it."
  value       = google_compute_network.this.id
  depends_on  = [google_service_networking_connection.databases]
}

output "range" {
  description = "The reserved range of databases; null without."
  value       = one(google_compute_global_address.databases[*].name)
}
