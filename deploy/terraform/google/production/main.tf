# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# shop in the environment production, on Google Cloud.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }

  # init -backend-config=bucket=…: the bucket that ../project makes.
  backend "gcs" {
    prefix = "shop/production"
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = local.labels
}

locals {
  name   = "shop-production"
  labels = { system = "shop", environment = "production", deployment = local.name }

  # {workload: its secret}; what is in it, ./secrets says. Before it, who opens the database.
  secrets = {
    # edge: migrate → postgres: database users
    # edge: users → postgres: database users
    "users" = "shop-production-users"
    # edge: inventory → postgres: database inventory
    # edge: migrate → postgres: database inventory
    "inventory" = "shop-production-inventory"
    # edge: migrate → postgres: database orders
    # edge: orders → postgres: database orders
    "orders" = "shop-production-orders"
    # edge: migrate → postgres: database payments
    # edge: payments → postgres: database payments
    "payments" = "shop-production-payments"
    # edge: migrate → postgres: database notifications
    # edge: notifications → postgres: database notifications
    "notifications" = "shop-production-notifications"
  }
}

module "key" {
  source = "../modules/key"
  name   = local.name
  region = var.region
}

module "network" {
  source   = "../modules/network"
  name     = local.name
  region   = var.region
  nodes    = "10.0.0.0/20"
  pods     = "100.64.0.0/16"
  services = "100.65.0.0/20"
  # From where network policies let databases answer.
  databases = "10.0.48.0/20"
}

module "cluster" {
  source         = "../modules/cluster"
  name           = local.name
  region         = var.region
  network        = module.network.network
  subnet         = module.network.nodes
  key            = module.key.id
  machine_type   = var.machine_type
  nodes          = var.nodes
  node_account   = "production-nodes"
  registry       = var.registry
  administrators = var.administrators
  deployers      = var.deployers
  labels         = local.labels
}

module "databases" {
  source  = "../modules/databases"
  name    = local.name
  region  = var.region
  size    = "large"
  network = module.network.databases
  range   = module.network.range
  labels  = local.labels
}

module "secrets" {
  source        = "../modules/secrets"
  region        = var.region
  workload_pool = module.cluster.workload_pool
  workloads     = local.secrets
  labels        = local.labels
  further       = ["shop-production-database-admin"]
  database = {
    name      = "shop-production-database"
    host      = module.databases.host
    authority = module.databases.authority
  }
}

module "budget" {
  source          = "../modules/budget"
  name            = local.name
  billing_account = var.billing_account
  monthly         = var.monthly
  currency        = var.currency
  told            = var.told
}
