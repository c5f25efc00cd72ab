# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment."
  type        = string
}

variable "kubernetes" {
  description = "The minor version of Kubernetes, raised one at a time."
  type        = string
}

variable "namespace" {
  description = "Where the system runs; who deploys may change nothing else."
  type        = string
}

variable "subnets" {
  description = "The private subnets, one for each zone."
  type        = list(string)
}

variable "key" {
  description = "The KMS key of the cluster's secrets and logs."
  type        = string
}

variable "instance_types" {
  description = "What nodes are, the preferred first."
  type        = list(string)
}

variable "nodes" {
  description = "How many nodes, between which an autoscaler decides."
  type        = object({ least = number, most = number })
}

variable "administrators" {
  description = "ARNs of the roles that may do everything in the cluster."
  type        = set(string)
}

variable "deployers" {
  description = "ARNs of the roles that may deploy to the namespace of the system."
  type        = set(string)
}

variable "api_networks" {
  description = "CIDRs from where the API is reached over the internet; none: from within alone."
  type        = list(string)
}
