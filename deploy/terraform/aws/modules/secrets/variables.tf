# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment."
  type        = string
}

variable "cluster" {
  description = "Whose External Secrets reads."
  type        = string
}

variable "key" {
  description = "The KMS key of secrets."
  type        = string
}

variable "workloads" {
  description = "{workload: the name of its secret}."
  type        = map(string)
}

variable "database" {
  description = "Of managed databases: the secret's name, the server, and its authority as PEM."
  type        = object({ name = string, host = string, authority = string })
  default     = null
}

variable "readable" {
  description = "ARNs of further secrets that External Secrets may read."
  type        = list(string)
  default     = []
}

variable "reader" {
  description = "The service account of External Secrets' controller."
  type        = object({ namespace = string, service_account = string })
  default     = { namespace = "external-secrets", service_account = "external-secrets" }
}
