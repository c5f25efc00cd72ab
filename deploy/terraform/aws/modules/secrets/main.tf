# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What External Secrets brings into the cluster, one secret for each workload, and who may read it:
# the controller of External Secrets, exactly these, by Pod Identity. No pod of the system can ask.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

locals {
  readable = concat(values(aws_secretsmanager_secret.workload)[*].arn, aws_secretsmanager_secret.database[*].arn, var.readable)
}

data "aws_region" "current" {}

resource "aws_secretsmanager_secret" "workload" {
  for_each                = var.workloads
  name                    = each.value
  description             = "What ${each.key} is given as variables"
  kms_key_id              = var.key
  recovery_window_in_days = 30
}

# No secret, and kept beside them all the same: where the server is, and who signs its certificate.
resource "aws_secretsmanager_secret" "database" {
  count                   = var.database == null ? 0 : 1
  name                    = var.database.name
  description             = "Where databases are, and the authority of their certificate"
  kms_key_id              = var.key
  recovery_window_in_days = 30
}

resource "aws_secretsmanager_secret_version" "database" {
  count     = var.database == null ? 0 : 1
  secret_id = aws_secretsmanager_secret.database[0].id
  secret_string = jsonencode({
    "ca.crt" = var.database.authority
    host     = var.database.host
  })
}

resource "aws_iam_role" "reader" {
  name = "${var.name}-secrets"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
      Condition = {
        StringEquals = {
          "aws:RequestTag/kubernetes-namespace"       = var.reader.namespace
          "aws:RequestTag/kubernetes-service-account" = var.reader.service_account
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "reader" {
  name = "read"
  role = aws_iam_role.reader.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
        Resource = local.readable
      },
      {
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.key
        Condition = {
          StringEquals = { "kms:ViaService" = "secretsmanager.${data.aws_region.current.region}.amazonaws.com" }
        }
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "reader" {
  cluster_name    = var.cluster
  namespace       = var.reader.namespace
  service_account = var.reader.service_account
  role_arn        = aws_iam_role.reader.arn
}
