# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "project" {
  description = "The project that everything is in."
  type        = string
}

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "billing_account" {
  description = "Who pays."
  type        = string
}

variable "administrators" {
  description = "Who may do everything in the cluster, as `group:` or `serviceAccount:` and an address."
  type        = set(string)
  validation {
    condition     = length(var.administrators) > 0 && !contains(var.administrators, "allUsers") && !contains(var.administrators, "allAuthenticatedUsers")
    error_message = "Name somebody, and not everybody."
  }
}

variable "deployers" {
  description = "Who may deploy, likewise."
  type        = set(string)
  default     = []
}

variable "registry" {
  description = "From where nodes pull images: what ../project made."
  type        = object({ project = string, location = string, repository = string })
}

variable "machine_type" {
  description = "What nodes are: 4 cores and 16 GiB, which `nodes` is reckoned with."
  type        = string
  default     = "e2-standard-4"
}

variable "nodes" {
  description = "How many nodes: what all pods request at the least, and at the most."
  type        = object({ least = number, most = number })
  default     = { least = 2, most = 3 }
}

variable "monthly" {
  description = "What a month may cost before people are told."
  type        = number
  default     = 500
}

variable "currency" {
  description = "Of the billing account."
  type        = string
  default     = "USD"
}

variable "told" {
  description = "Who is told when it costs more, as addresses of email."
  type        = list(string)
  validation {
    condition     = length(var.told) > 0 && length(var.told) <= 5
    error_message = "Somebody has to be told; a budget tells five at most."
  }
}
