# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What is in the secrets of shop in the environment production.
# It is apart from what is around it, so that whoever changes that needs not know them.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  backend "gcs" {
    prefix = "shop/production/secrets"
  }
}

provider "google" {
  project = var.project
}

module "values" {
  source         = "../../modules/values"
  authority_path = "/etc/holdfast/database/ca.crt"
  databases      = { server = "shop-production", admin = "shop-production-database-admin", written = lookup(var.written, "admin", 1) }
  workloads = {
    "users" = {
      secret   = "shop-production-users"
      url      = "USERS_DATABASE_URL"
      password = "USERS_DATABASE_PASSWORD"
      owner    = { role = "users_owner", url = "USERS_DATABASE_OWNER_URL", password = "USERS_DATABASE_OWNER_PASSWORD" }
      written  = lookup(var.written, "users", 1)
    }
    "inventory" = {
      secret   = "shop-production-inventory"
      url      = "INVENTORY_DATABASE_URL"
      password = "INVENTORY_DATABASE_PASSWORD"
      owner    = { role = "inventory_owner", url = "INVENTORY_DATABASE_OWNER_URL", password = "INVENTORY_DATABASE_OWNER_PASSWORD" }
      written  = lookup(var.written, "inventory", 1)
    }
    "orders" = {
      secret   = "shop-production-orders"
      url      = "ORDERS_DATABASE_URL"
      password = "ORDERS_DATABASE_PASSWORD"
      owner    = { role = "orders_owner", url = "ORDERS_DATABASE_OWNER_URL", password = "ORDERS_DATABASE_OWNER_PASSWORD" }
      written  = lookup(var.written, "orders", 1)
    }
    "payments" = {
      secret   = "shop-production-payments"
      url      = "PAYMENTS_DATABASE_URL"
      password = "PAYMENTS_DATABASE_PASSWORD"
      owner    = { role = "payments_owner", url = "PAYMENTS_DATABASE_OWNER_URL", password = "PAYMENTS_DATABASE_OWNER_PASSWORD" }
      written  = lookup(var.written, "payments", 1)
    }
    "notifications" = {
      secret   = "shop-production-notifications"
      url      = "NOTIFICATIONS_DATABASE_URL"
      password = "NOTIFICATIONS_DATABASE_PASSWORD"
      owner    = { role = "notifications_owner", url = "NOTIFICATIONS_DATABASE_OWNER_URL", password = "NOTIFICATIONS_DATABASE_OWNER_PASSWORD" }
      written  = lookup(var.written, "notifications", 1)
    }
  }
}
