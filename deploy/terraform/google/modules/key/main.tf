# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# The key of one environment: what the secrets and the disks of its cluster are encrypted with.
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

resource "google_kms_key_ring" "this" {
  name     = var.name
  location = var.region
}

resource "google_kms_crypto_key" "this" {
  name            = "cluster"
  key_ring        = google_kms_key_ring.this.id
  rotation_period = "7776000s" # 90 days

  lifecycle {
    prevent_destroy = true
  }
}

# GKE encrypts secrets with it, Compute Engine disks.
resource "google_kms_crypto_key_iam_member" "user" {
  for_each = toset([
    "service-${data.google_project.this.number}@container-engine-robot.iam.gserviceaccount.com",
    "service-${data.google_project.this.number}@compute-system.iam.gserviceaccount.com",
  ])
  crypto_key_id = google_kms_crypto_key.this.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}
