# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What External Secrets brings into the cluster, one secret for each workload, and who may read it:
# the service account of External Secrets, exactly these. No pod of the system can ask.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

data "google_project" "this" {}

locals {
  secrets = merge(var.workloads, { for name in var.further : name => name })
  reader = format(
    "principal://iam.googleapis.com/projects/%s/locations/global/workloadIdentityPools/%s/subject/ns/%s/sa/%s",
    data.google_project.this.number, var.workload_pool, var.reader.namespace, var.reader.service_account,
  )
}

resource "google_secret_manager_secret" "this" {
  for_each            = local.secrets
  secret_id           = each.value
  labels              = var.labels
  deletion_protection = true

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.secrets
  secret_id = google_secret_manager_secret.this[each.key].id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.reader
}

# No secret, and kept beside them all the same: where the server is, and who signs its certificate.
resource "google_secret_manager_secret" "database" {
  count     = var.database == null ? 0 : 1
  secret_id = var.database.name
  labels    = var.labels

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_version" "database" {
  count  = var.database == null ? 0 : 1
  secret = google_secret_manager_secret.database[0].id
  secret_data = jsonencode({
    "ca.crt" = var.database.authority
    host     = var.database.host
  })
}

resource "google_secret_manager_secret_iam_member" "database" {
  count     = var.database == null ? 0 : 1
  secret_id = google_secret_manager_secret.database[0].id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.reader
}
