# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "region" {
  description = "Where states and images are kept."
  type        = string
}

variable "state_bucket" {
  description = "The bucket of states, whose name nobody else in the world has."
  type        = string
}

variable "cluster_accounts" {
  description = "Numbers of other accounts whose clusters run the images."
  type        = list(string)
  default     = []
}

variable "subjects" {
  description = "Which jobs of GitHub may push images, as `repo:<owner>/<name>:ref:refs/heads/main`."
  type        = list(string)
  default     = ["repo:example/shop:ref:refs/heads/main"]
  validation {
    condition     = length(var.subjects) > 0 && alltrue([for subject in var.subjects : can(regex("^repo:[^:*]+/[^:*]+:[^*]+$", subject))])
    error_message = "Name each repository and its branch or environment in full; a * lets others in."
  }
}
