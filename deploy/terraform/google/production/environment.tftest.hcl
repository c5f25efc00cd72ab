# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# `terraform init -backend=false && terraform test`: without a project, and nothing is made.
mock_provider "google" {
  mock_data "google_project" {
    defaults = { project_id = "test", number = "123456789012" }
  }
}

variables {
  project         = "test"
  region          = "europe-west3"
  billing_account = "000000-000000-000000"
  administrators  = ["group:administrators@example.com"]
  registry        = { project = "test", location = "europe-west3", repository = "images" }
  told            = ["operations@example.com"]
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
    condition     = output.database_protected == { deletion = true, zone = true, kept = 35 }
    error_message = "Databases are less protected than they should be."
  }
}

run "nobody_is_everybody" {
  command = plan
  variables {
    administrators = ["allUsers"]
  }
  expect_failures = [var.administrators]
}
