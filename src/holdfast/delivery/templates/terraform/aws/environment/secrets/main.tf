# What is in the secrets of [= system | plain =] in the environment [= environment.name | plain =].
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
    key          = [= system ~ "/" ~ environment.name ~ "/secrets.tfstate" =]
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
}

module "values" {
  source         = "../../modules/values"
  authority_path = [= authority ~ "/ca.crt" =]
[% if managed %]
  databases      = [= deployment =]
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
