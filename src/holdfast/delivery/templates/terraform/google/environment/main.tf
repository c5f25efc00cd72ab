# [= (system ~ " in the environment " ~ environment.name) | plain =], on Google Cloud.
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
    prefix = [= system ~ "/" ~ environment.name =]
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = local.labels
}

locals {
  name   = [= deployment =]
  labels = { system = [= system =], environment = [= environment.name =], deployment = local.name }

  # {workload: its secret}; what is in it, ./secrets says. Before it, who opens the database.
  secrets = {
[% for workload in workloads %]
[% for edge in workload.edges %]
    # edge: [= edge | plain =]
[% endfor %]
    [= workload.name =] = [= workload.secret =]
[% endfor %]
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
  nodes    = [= networks.private[0] =]
  pods     = "100.64.0.0/16"
  services = "100.65.0.0/20"
[% if managed %]
  # From where network policies let databases answer.
  databases = [= networks.peered =]
[% endif %]
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
  node_account   = [= environment.name ~ "-nodes" =]
  registry       = var.registry
  administrators = var.administrators
  deployers      = var.deployers
  labels         = local.labels
}

[% if managed %]
module "databases" {
  source  = "../modules/databases"
  name    = local.name
  region  = var.region
  size    = [= environment.size =]
  network = module.network.databases
  range   = module.network.range
  labels  = local.labels
}

[% endif %]
module "secrets" {
  source        = "../modules/secrets"
  region        = var.region
  workload_pool = module.cluster.workload_pool
  workloads     = local.secrets
  labels        = local.labels
[% if managed %]
  further       = [[= secrets.admin =]]
  database = {
    name      = [= secrets.database =]
    host      = module.databases.host
    authority = module.databases.authority
  }
[% endif %]
}

module "budget" {
  source          = "../modules/budget"
  name            = local.name
  billing_account = var.billing_account
  monthly         = var.monthly
  currency        = var.currency
  told            = var.told
}
