# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What is in the secrets of shop in the environment staging.
# It is apart from what is around it, so that whoever changes that needs not know them.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  backend "s3" {
    key          = "shop/staging/secrets.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
}

module "values" {
  source         = "../../modules/values"
  authority_path = "/etc/holdfast/database/ca.crt"
  workloads = {
    "users" = {
      secret   = "shop-staging-users"
      password = "USERS_DATABASE_PASSWORD"
      written  = lookup(var.written, "users", 1)
    }
    "inventory" = {
      secret   = "shop-staging-inventory"
      password = "INVENTORY_DATABASE_PASSWORD"
      written  = lookup(var.written, "inventory", 1)
    }
    "orders" = {
      secret   = "shop-staging-orders"
      password = "ORDERS_DATABASE_PASSWORD"
      written  = lookup(var.written, "orders", 1)
    }
    "payments" = {
      secret   = "shop-staging-payments"
      password = "PAYMENTS_DATABASE_PASSWORD"
      written  = lookup(var.written, "payments", 1)
    }
    "notifications" = {
      secret   = "shop-staging-notifications"
      password = "NOTIFICATIONS_DATABASE_PASSWORD"
      written  = lookup(var.written, "notifications", 1)
    }
  }
}
