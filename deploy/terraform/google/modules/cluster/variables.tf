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

variable "network" {
  description = "The network."
  type        = string
}

variable "subnet" {
  description = "The subnet of nodes."
  type        = string
}

variable "key" {
  description = "The key of secrets and disks."
  type        = string
}

variable "machine_type" {
  description = "What nodes are."
  type        = string
}

variable "nodes" {
  description = "How many nodes in all, between which GKE's autoscaler decides."
  type        = object({ least = number, most = number })
}

variable "node_account" {
  description = "The name of the nodes' service account, 6..30 characters."
  type        = string
}

variable "registry" {
  description = "From where nodes pull images."
  type        = object({ project = string, location = string, repository = string })
}

variable "administrators" {
  description = "Who may do everything in the cluster, as `group:` or `serviceAccount:` and an address."
  type        = set(string)
}

variable "deployers" {
  description = "Who may deploy, likewise."
  type        = set(string)
}

variable "labels" {
  description = "Of all that costs money."
  type        = map(string)
}
