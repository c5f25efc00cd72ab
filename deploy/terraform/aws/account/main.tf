# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What the environments of shop share in one account of AWS: where states and images are
# kept, and who may push images. It is applied first, once, with a state of its own:
#
#   terraform init && terraform apply
#
# After that the state can be moved to the bucket that it made: add `backend "s3" {}` in backend.tf.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { system = "shop" }
  }
}

module "state" {
  source = "../modules/state"
  bucket = var.state_bucket
}

module "registry" {
  source     = "../modules/registry"
  repository = "example/shop"
  readers    = var.cluster_accounts
}

module "pipeline" {
  source   = "../modules/pipeline"
  name     = "shop"
  registry = module.registry.arn
  subjects = var.subjects
}
