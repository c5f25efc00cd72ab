# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "zones" {
  description = "Three zones of the region, by their letters. They are said and not looked up: subnets would move when a region gets another one."
  type        = list(string)
  default     = ["a", "b", "c"]
  validation {
    condition     = length(distinct(var.zones)) == 3
    error_message = "Name three zones."
  }
}

variable "administrators" {
  description = "ARNs of the roles that may do everything in the cluster."
  type        = set(string)
  validation {
    condition     = length(var.administrators) > 0
    error_message = "Nobody could do anything in the cluster."
  }
}

variable "deployers" {
  description = "ARNs of the roles that may deploy to the namespace of the system."
  type        = set(string)
  default     = []
}

variable "api_networks" {
  description = "CIDRs from where the cluster's API is reached over the internet; none: from within alone."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for network in var.api_networks : can(cidrhost(network, 0)) && !endswith(network, "/0")])
    error_message = "Write CIDRs of your own, as 203.0.113.0/24; not of everybody."
  }
}

variable "kubernetes" {
  description = "The minor version of Kubernetes, raised one at a time."
  type        = string
  default     = "1.35"
}

variable "instance_types" {
  description = "What nodes are: 4 cores and 16 GiB, which `nodes` is reckoned with."
  type        = list(string)
  default     = ["m7i.xlarge", "m6i.xlarge"]
}

variable "nodes" {
  description = "How many nodes: what all pods request at the least, and at the most."
  type        = object({ least = number, most = number })
  default     = { least = 3, most = 7 }
}

variable "database_authority" {
  description = "The authorities of RDS in the region, as PEM: https://truststore.pki.rds.amazonaws.com/<region>/<region>-bundle.pem"
  type        = string
  validation {
    condition     = startswith(trimspace(var.database_authority), "-----BEGIN CERTIFICATE-----")
    error_message = "Give the text of the file, not its name."
  }
}

variable "monthly_usd" {
  description = "What a month may cost, in US dollars, before people are told."
  type        = number
  default     = 2500
}

variable "told" {
  description = "Who is told when it costs more, as addresses of email."
  type        = list(string)
}
