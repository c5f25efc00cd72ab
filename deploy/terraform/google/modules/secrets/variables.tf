# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "workload_pool" {
  description = "Of the cluster whose External Secrets reads."
  type        = string
}

variable "workloads" {
  description = "{workload: the name of its secret}."
  type        = map(string)
}

variable "further" {
  description = "Names of further secrets that External Secrets may read."
  type        = set(string)
  default     = []
}

variable "database" {
  description = "Of managed databases: the secret's name, the server, and its authority as PEM."
  type        = object({ name = string, host = string, authority = string })
  default     = null
}

variable "reader" {
  description = "The service account of External Secrets' controller."
  type        = object({ namespace = string, service_account = string })
  default     = { namespace = "external-secrets", service_account = "external-secrets" }
}

variable "labels" {
  description = "Of all that costs money."
  type        = map(string)
}
