# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# `terraform init -backend=false && terraform test`: without an account, and nothing is made.
mock_provider "aws" {}

variables {
  region       = "eu-central-1"
  state_bucket = "states-of-a-test"
}

run "plan" {
  command = plan

  assert {
    condition     = output.state_bucket == "states-of-a-test"
    error_message = "The bucket has another name."
  }
}

run "no_job_of_others" {
  command = plan
  variables {
    subjects = ["repo:somebody/*:ref:refs/heads/main"]
  }
  expect_failures = [var.subjects]
}
