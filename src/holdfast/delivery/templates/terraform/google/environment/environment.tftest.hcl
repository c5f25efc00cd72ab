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
    condition     = output.cluster == [= deployment =]
    error_message = "The cluster has another name."
  }

  assert {
    condition = output.secrets == {
[% for workload in workloads %]
      [= workload.name =] = [= workload.secret =]
[% endfor %]
    }
    error_message = "External Secrets looks for other names."
  }
[% if managed %]

  assert {
    condition     = output.database_protected == { deletion = true, zone = [= environment.size == "large" =], kept = [= 35 if environment.size == "large" else 7 =] }
    error_message = "Databases are less protected than they should be."
  }
[% endif %]
}

run "nobody_is_everybody" {
  command = plan
  variables {
    administrators = ["allUsers"]
  }
  expect_failures = [var.administrators]
}
