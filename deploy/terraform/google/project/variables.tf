# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "project" {
  description = "The project that everything is in."
  type        = string
}

variable "region" {
  description = "Where states and images are kept."
  type        = string
}

variable "state_bucket" {
  description = "The bucket of states, whose name nobody else in the world has."
  type        = string
}

variable "subject" {
  description = "Which jobs of GitHub may push images, as `repo:<owner>/<name>:ref:refs/heads/main`."
  type        = string
  default     = "repo:example/shop:ref:refs/heads/main"
  validation {
    condition     = can(regex("^repo:[^:*']+/[^:*']+:[^*']+$", var.subject))
    error_message = "Name the repository and its branch or environment in full; a * lets others in."
  }
}
