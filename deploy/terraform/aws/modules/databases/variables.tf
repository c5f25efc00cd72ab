# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment."
  type        = string
}

variable "size" {
  description = "large: a standby in another zone, and 35 days that can be gone back to."
  type        = string
  validation {
    condition     = contains(["small", "large"], var.size)
    error_message = "The size is small or large."
  }
}

variable "postgres" {
  description = "The major version of Postgres."
  type        = string
  default     = "18"
}

variable "vpc" {
  description = "The network."
  type        = string
}

variable "subnets" {
  description = "The subnets of databases, one for each zone."
  type        = list(string)
}

variable "cluster_security_group" {
  description = "Of the pods that open connections."
  type        = string
}

variable "key" {
  description = "The KMS key of what is stored."
  type        = string
}
