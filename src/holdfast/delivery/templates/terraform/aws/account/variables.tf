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
  default     = [[= subject =]]
  validation {
    condition     = length(var.subjects) > 0 && alltrue([for subject in var.subjects : can(regex("^repo:[^:*]+/[^:*]+:[^*]+$", subject))])
    error_message = "Name each repository and its branch or environment in full; a * lets others in."
  }
}
