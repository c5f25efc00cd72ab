# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# One server of Postgres, with a database and a role for each service, which a job makes that is
# rendered beside: the server has no address of the internet.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

locals {
  sizes = {
    small = { tier = "db-custom-1-3840", gib = 20, gib_max = 100, kept = 7, available = "ZONAL" }
    large = { tier = "db-custom-2-8192", gib = 100, gib_max = 1000, kept = 35, available = "REGIONAL" }
  }
  size = local.sizes[var.size]
}

resource "google_sql_database_instance" "this" {
  name                = var.name
  region              = var.region
  database_version    = "POSTGRES_${var.postgres}"
  deletion_protection = true

  settings {
    tier                        = local.size.tier
    edition                     = "ENTERPRISE"
    availability_type           = local.size.available
    deletion_protection_enabled = true
    disk_type                   = "PD_SSD"
    disk_size                   = local.size.gib
    disk_autoresize             = true
    disk_autoresize_limit       = local.size.gib_max
    user_labels                 = var.labels

    ip_configuration {
      ipv4_enabled       = false
      private_network    = var.network
      allocated_ip_range = var.range
      ssl_mode           = "ENCRYPTED_ONLY"
      server_ca_mode     = "GOOGLE_MANAGED_CAS_CA" # its certificates have the server's name
    }

    # Any second of the last days can be gone back to.
    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
      backup_retention_settings {
        retained_backups = local.size.kept
      }
    }

    maintenance_window {
      day          = 7
      hour         = 4
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    password_validation_policy {
      enable_password_policy      = true
      min_length                  = 20
      disallow_username_substring = true
    }

    # Statements are not written down: one that gives a role its password would be among them. What is
    # slow, the insights show without its values.
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_connections"
      value = "on"
    }

    database_flags {
      name  = "log_disconnections"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }

    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }

    database_flags {
      name  = "log_statement"
      value = "none"
    }

    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }
  }
}

# The name that the certificate has, for the address that it is at.
resource "google_dns_managed_zone" "this" {
  name        = "${var.name}-databases"
  dns_name    = google_sql_database_instance.this.dns_name
  description = "Databases of ${var.name}"
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = var.network
    }
  }
}

resource "google_dns_record_set" "this" {
  managed_zone = google_dns_managed_zone.this.name
  name         = google_sql_database_instance.this.dns_name
  type         = "A"
  ttl          = 60
  rrdatas      = [google_sql_database_instance.this.private_ip_address]
}
