# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

output "host" {
  description = "Where the server is, by the name that its certificate has."
  value       = trimsuffix(google_sql_database_instance.this.dns_name, ".")
}

output "authority" {
  description = "Who signs the server's certificate, as PEM."
  value       = join("\n", google_sql_database_instance.this.server_ca_cert[*].cert)
}

output "protected" {
  description = "Whether the server survives a slip of the hand, and the loss of its zone."
  value = {
    deletion = google_sql_database_instance.this.deletion_protection
    zone     = google_sql_database_instance.this.settings[0].availability_type == "REGIONAL"
    kept     = google_sql_database_instance.this.settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups
  }
}
