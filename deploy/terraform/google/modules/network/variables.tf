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

variable "nodes" {
  description = "Of nodes, as a CIDR."
  type        = string
}

variable "pods" {
  description = "Of pods, as a CIDR."
  type        = string
}

variable "services" {
  description = "Of services within the cluster, as a CIDR."
  type        = string
}

variable "databases" {
  description = "Of managed databases, as a CIDR; null without."
  type        = string
  default     = null
}
