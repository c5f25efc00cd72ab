# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment."
  type        = string
}

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "size" {
  description = "large: a standby in another zone, and 35 backups that are kept."
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

variable "network" {
  description = "The network, peered with that of databases."
  type        = string
}

variable "range" {
  description = "The reserved range that the server is in."
  type        = string
}

variable "labels" {
  description = "Of all that costs money."
  type        = map(string)
}
