# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment."
  type        = string
}

variable "size" {
  description = "large: a NAT gateway in each zone, and endpoints of AWS within the network."
  type        = string
  validation {
    condition     = contains(["small", "large"], var.size)
    error_message = "The size is small or large."
  }
}

variable "network" {
  description = "Of the whole network, as a CIDR."
  type        = string
}

variable "zones" {
  description = "Of the region, such as eu-central-1a, one for each subnet."
  type        = list(string)
}

variable "private_subnets" {
  description = "One for each zone, for nodes and pods."
  type        = list(string)
}

variable "public_subnets" {
  description = "One for each zone, for NAT gateways and load balancers."
  type        = list(string)
}

variable "database_subnets" {
  description = "One for each zone; empty where no managed database is."
  type        = list(string)
}

variable "key" {
  description = "The KMS key of logs."
  type        = string
}
