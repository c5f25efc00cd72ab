# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# shop in the environment staging, on AWS.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  # init -backend-config=bucket=… -backend-config=region=…: the bucket that ../account makes.
  backend "s3" {
    key          = "shop/staging/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = {
      system      = "shop"
      environment = "staging"
      deployment  = local.name
    }
  }
}

locals {
  name = "shop-staging"
  size = "small"
  # {workload: its secret}; what is in it, ./secrets says. Before it, who opens the database.
  secrets = {
    # edge: migrate → postgres: database users
    # edge: users → postgres: database users
    "users" = "shop-staging-users"
    # edge: inventory → postgres: database inventory
    # edge: migrate → postgres: database inventory
    "inventory" = "shop-staging-inventory"
    # edge: migrate → postgres: database orders
    # edge: orders → postgres: database orders
    "orders" = "shop-staging-orders"
    # edge: migrate → postgres: database payments
    # edge: payments → postgres: database payments
    "payments" = "shop-staging-payments"
    # edge: migrate → postgres: database notifications
    # edge: notifications → postgres: database notifications
    "notifications" = "shop-staging-notifications"
  }
}

module "key" {
  source      = "../modules/key"
  name        = local.name
  description = "Of ${local.name}"
}

module "network" {
  source          = "../modules/network"
  name            = local.name
  size            = local.size
  zones           = [for letter in var.zones : "${var.region}${letter}"]
  network         = "10.0.0.0/16"
  private_subnets = ["10.0.0.0/20", "10.0.16.0/20", "10.0.32.0/20"]
  public_subnets  = ["10.0.64.0/24", "10.0.65.0/24", "10.0.66.0/24"]
  # From where network policies let databases answer.
  database_subnets = []
  key              = module.key.arn
}

module "cluster" {
  source         = "../modules/cluster"
  name           = local.name
  namespace      = "shop"
  kubernetes     = var.kubernetes
  subnets        = module.network.private_subnets
  key            = module.key.arn
  instance_types = var.instance_types
  nodes          = var.nodes
  administrators = var.administrators
  deployers      = var.deployers
  api_networks   = var.api_networks
}

module "secrets" {
  source    = "../modules/secrets"
  name      = local.name
  cluster   = module.cluster.name
  key       = module.key.arn
  workloads = local.secrets
}

module "budget" {
  source      = "../modules/budget"
  name        = local.name
  tag         = "deployment"
  monthly_usd = var.monthly_usd
  told        = var.told
}
