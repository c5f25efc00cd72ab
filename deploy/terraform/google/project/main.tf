# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What the environments of shop share in one project of Google Cloud: where states and
# images are kept, and who may push images. It is applied first, once, with a state of its own:
#
#   terraform init && terraform apply
#
# After that the state can be moved to the bucket that it made: add `backend "gcs" {}` in backend.tf.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = { system = "shop" }
}

# What the modules of environments ask for; another project needs them as well.
resource "google_project_service" "this" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "billingbudgets.googleapis.com",
    "binaryauthorization.googleapis.com",
    "cloudkms.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "containersecurity.googleapis.com",
    "dns.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "monitoring.googleapis.com",
    "secretmanager.googleapis.com",
    "servicenetworking.googleapis.com",
    "sqladmin.googleapis.com",
    "sts.googleapis.com",
  ])
  service            = each.value
  disable_on_destroy = false
}

module "state" {
  source = "../modules/state"
  bucket = var.state_bucket
  region = var.region
}

module "registry" {
  source     = "../modules/registry"
  repository = "example"
  region     = var.region
  depends_on = [google_project_service.this]
}

module "pipeline" {
  source     = "../modules/pipeline"
  registry   = { location = var.region, repository = module.registry.repository }
  subject    = var.subject
  depends_on = [google_project_service.this]
}
