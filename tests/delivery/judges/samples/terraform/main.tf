terraform {
  required_version = ">= 1.8"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

data "aws_availability_zones" "here" {
  state = "available"
}

locals {
  zones = slice(data.aws_availability_zones.here.names, 0, 3)
}

resource "aws_vpc" "main" {
  cidr_block           = var.block
  enable_dns_hostnames = true
}

resource "aws_subnet" "private" {
  for_each          = { for at, zone in local.zones : zone => cidrsubnet(var.block, 4, at) }
  vpc_id            = aws_vpc.main.id
  availability_zone = each.key
  cidr_block        = each.value
}

resource "aws_security_group" "database" {
  name        = "database"
  description = "who may open connections to the database"
  vpc_id      = aws_vpc.main.id

  dynamic "ingress" {
    for_each = aws_subnet.private
    content {
      description = "Postgres from a private subnet"
      from_port   = 5432
      to_port     = 5432
      protocol    = "tcp"
      cidr_blocks = [ingress.value.cidr_block]
    }
  }
}

output "subnets" {
  description = "the private subnets, by zone"
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}
