# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What is in the secrets of one environment. Passwords are made here and come into no plan and no
# state: what is ephemeral is known during a run alone, and what takes it is write-only.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

data "aws_secretsmanager_secret" "workload" {
  for_each = var.workloads
  name     = each.value.secret
}

data "aws_db_instance" "this" {
  count                  = var.databases == null ? 0 : 1
  db_instance_identifier = var.databases
}

ephemeral "aws_secretsmanager_random_password" "this" {
  for_each            = { for name, workload in var.workloads : name => workload if workload.password != null }
  password_length     = 40
  exclude_punctuation = true # it stands in a URL
}

# Of the roles that own databases, which nobody logs in as but the job that migrates.
ephemeral "aws_secretsmanager_random_password" "owner" {
  for_each            = { for name, workload in var.workloads : name => workload if workload.owner != null }
  password_length     = 40
  exclude_punctuation = true
}

# Each password is in one secret alone, so that no two can differ, however a run ends.
resource "aws_secretsmanager_secret_version" "workload" {
  for_each  = var.workloads
  secret_id = data.aws_secretsmanager_secret.workload[each.key].id
  secret_string_wo = jsonencode(merge(
    each.value.password == null ? {} : {
      (each.value.password) = ephemeral.aws_secretsmanager_random_password.this[each.key].random_password
    },
    each.value.url == null || var.databases == null ? {} : {
      (each.value.url) = format(
        "postgresql://%s:%s@%s:5432/%s?sslmode=verify-full&sslrootcert=%s",
        each.key,
        ephemeral.aws_secretsmanager_random_password.this[each.key].random_password,
        data.aws_db_instance.this[0].address,
        each.key,
        var.authority_path,
      )
    },
    each.value.owner == null ? {} : {
      (each.value.owner.password) = ephemeral.aws_secretsmanager_random_password.owner[each.key].random_password
    },
    each.value.owner == null || var.databases == null ? {} : {
      (each.value.owner.url) = format(
        "postgresql://%s:%s@%s:5432/%s?sslmode=verify-full&sslrootcert=%s",
        each.value.owner.role,
        ephemeral.aws_secretsmanager_random_password.owner[each.key].random_password,
        data.aws_db_instance.this[0].address,
        each.key,
        var.authority_path,
      )
    },
    { for variable in each.value.given : variable => var.given[each.key][variable] },
  ))
  secret_string_wo_version = each.value.written
}
