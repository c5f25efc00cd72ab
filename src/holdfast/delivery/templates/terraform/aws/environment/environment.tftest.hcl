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
  region         = "eu-central-1"
  administrators = ["arn:aws:iam::123456789012:role/administrator"]
  told           = ["operations@example.com"]
[% if managed %]
  database_authority = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"
[% endif %]
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
    condition     = output.database_protected == { deletion = true, zone = [= environment.size == "large" =], kept_days = [= 35 if environment.size == "large" else 7 =] }
    error_message = "Databases are less protected than they should be."
  }
[% endif %]
}

run "nobody_is_everybody" {
  command = plan
  variables {
    api_networks = ["0.0.0.0/0"]
  }
  expect_failures = [var.api_networks]
}
