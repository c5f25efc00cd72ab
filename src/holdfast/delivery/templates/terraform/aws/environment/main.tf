# [= (system ~ " in the environment " ~ environment.name) | plain =], on AWS.
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
    key          = [= system ~ "/" ~ environment.name ~ "/terraform.tfstate" =]
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = {
      system      = [= system =]
      environment = [= environment.name =]
      deployment  = local.name
    }
  }
}

locals {
  name = [= deployment =]
  size = [= environment.size =]
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
  source      = "../modules/key"
  name        = local.name
  description = "Of ${local.name}"
}

module "network" {
  source           = "../modules/network"
  name             = local.name
  size             = local.size
  zones            = [for letter in var.zones : "${var.region}${letter}"]
  network          = [= networks.whole =]
  private_subnets  = [= networks.private =]
  public_subnets   = [= networks.public =]
  # From where network policies let databases answer.
  database_subnets = [= networks.databases =]
  key              = module.key.arn
}

module "cluster" {
  source         = "../modules/cluster"
  name           = local.name
  namespace      = [= namespace =]
  kubernetes     = var.kubernetes
  subnets        = module.network.private_subnets
  key            = module.key.arn
  instance_types = var.instance_types
  nodes          = var.nodes
  administrators = var.administrators
  deployers      = var.deployers
  api_networks   = var.api_networks
}

[% if managed %]
module "databases" {
  source                 = "../modules/databases"
  name                   = local.name
  size                   = local.size
  vpc                    = module.network.vpc
  subnets                = module.network.database_subnets
  cluster_security_group = module.cluster.security_group
  key                    = module.key.arn
}

[% endif %]
module "secrets" {
  source    = "../modules/secrets"
  name      = local.name
  cluster   = module.cluster.name
  key       = module.key.arn
  workloads = local.secrets
[% if managed %]
  readable  = [module.databases.administrator]
  database = {
    name      = [= secrets.database =]
    host      = module.databases.host
    authority = var.database_authority
  }
[% endif %]
}

module "budget" {
  source      = "../modules/budget"
  name        = local.name
  tag         = "deployment"
  monthly_usd = var.monthly_usd
  told        = var.told
}
