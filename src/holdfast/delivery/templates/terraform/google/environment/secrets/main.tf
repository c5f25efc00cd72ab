# What is in the secrets of [= system | plain =] in the environment [= environment.name | plain =].
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
    prefix = [= system ~ "/" ~ environment.name ~ "/secrets" =]
  }
}

provider "google" {
  project = var.project
}

module "values" {
  source         = "../../modules/values"
  authority_path = [= authority ~ "/ca.crt" =]
[% if managed %]
  databases      = { server = [= deployment =], admin = [= secrets.admin =], written = lookup(var.written, "admin", 1) }
[% endif %]
[% if given %]
  given          = var.secrets
[% endif %]
  workloads = {
[% for workload in workloads %]
    [= workload.name =] = {
      secret   = [= workload.secret =]
[% if managed and workload.url %]
      url      = [= workload.url =]
[% endif %]
[% if workload.password %]
      password = [= workload.password =]
[% endif %]
[% if managed and workload.owner_url %]
      owner    = { role = [= owner_of(workload.name) =], url = [= workload.owner_url =], password = [= workload.owner_password =] }
[% endif %]
[% if workload.given %]
      given    = [= workload.given =]
[% endif %]
      written  = lookup(var.written, [= workload.name =], 1)
    }
[% endfor %]
  }
}
