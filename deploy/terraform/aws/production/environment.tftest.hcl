# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# `terraform init -backend=false && terraform test`: without an account, and nothing is made.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
}

variables {
  region             = "eu-central-1"
  administrators     = ["arn:aws:iam::123456789012:role/administrator"]
  told               = ["operations@example.com"]
  database_authority = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"
}

run "plan" {
  command = plan

  assert {
    condition     = output.cluster == "shop-production"
    error_message = "The cluster has another name."
  }

  assert {
    condition = output.secrets == {
      "users"         = "shop-production-users"
      "inventory"     = "shop-production-inventory"
      "orders"        = "shop-production-orders"
      "payments"      = "shop-production-payments"
      "notifications" = "shop-production-notifications"
    }
    error_message = "External Secrets looks for other names."
  }

  assert {
    condition     = output.database_protected == { deletion = true, zone = true, kept_days = 35 }
    error_message = "Databases are less protected than they should be."
  }
}

run "nobody_is_everybody" {
  command = plan
  variables {
    api_networks = ["0.0.0.0/0"]
  }
  expect_failures = [var.api_networks]
}
