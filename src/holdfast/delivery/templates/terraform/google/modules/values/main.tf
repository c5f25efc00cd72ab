# What is in the secrets of one environment. Passwords are made here and come into no plan and no
# state: what is ephemeral is known during a run alone, and what takes it is write-only.
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
}

data "google_secret_manager_secret" "workload" {
  for_each  = var.workloads
  secret_id = each.value.secret
}

data "google_sql_database_instance" "this" {
  count = var.databases == null ? 0 : 1
  name  = var.databases.server
}

ephemeral "random_password" "this" {
  for_each = { for name, workload in var.workloads : name => workload if workload.password != null }
  length   = 40
  special  = false # it stands in a URL
}

# Of the roles that own databases, which nobody logs in as but the job that migrates.
ephemeral "random_password" "owner" {
  for_each = { for name, workload in var.workloads : name => workload if workload.owner != null }
  length   = 40
  special  = false
}

# Each password is in one secret alone, so that no two can differ, however a run ends.
resource "google_secret_manager_secret_version" "workload" {
  for_each = var.workloads
  secret   = data.google_secret_manager_secret.workload[each.key].id
  secret_data_wo = jsonencode(merge(
    each.value.password == null ? {} : {
      (each.value.password) = ephemeral.random_password.this[each.key].result
    },
    each.value.url == null || var.databases == null ? {} : {
      (each.value.url) = format(
        "postgresql://%s:%s@%s:5432/%s?sslmode=verify-full&sslrootcert=%s",
        each.key,
        ephemeral.random_password.this[each.key].result,
        trimsuffix(data.google_sql_database_instance.this[0].dns_name, "."),
        each.key,
        var.authority_path,
      )
    },
    each.value.owner == null ? {} : {
      (each.value.owner.password) = ephemeral.random_password.owner[each.key].result
    },
    each.value.owner == null || var.databases == null ? {} : {
      (each.value.owner.url) = format(
        "postgresql://%s:%s@%s:5432/%s?sslmode=verify-full&sslrootcert=%s",
        each.value.owner.role,
        ephemeral.random_password.owner[each.key].result,
        trimsuffix(data.google_sql_database_instance.this[0].dns_name, "."),
        each.key,
        var.authority_path,
      )
    },
    { for variable in each.value.given : variable => var.given[each.key][variable] },
  ))
  secret_data_wo_version = each.value.written
}

# The role that makes the roles of services. Should a run end between these two, raise its number.
ephemeral "random_password" "admin" {
  length  = 40
  special = false
}

data "google_secret_manager_secret" "admin" {
  count     = var.databases == null ? 0 : 1
  secret_id = var.databases.admin
}

resource "google_secret_manager_secret_version" "admin" {
  count                  = var.databases == null ? 0 : 1
  secret                 = data.google_secret_manager_secret.admin[0].id
  secret_data_wo         = jsonencode({ username = "holdfast", password = ephemeral.random_password.admin.result })
  secret_data_wo_version = var.databases.written
}

resource "google_sql_user" "admin" {
  count               = var.databases == null ? 0 : 1
  instance            = data.google_sql_database_instance.this[0].name
  name                = "holdfast"
  password_wo         = ephemeral.random_password.admin.result
  password_wo_version = var.databases.written
  deletion_policy     = "ABANDON"
}
