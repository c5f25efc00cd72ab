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
  default     = [= subject =]
  validation {
    condition     = can(regex("^repo:[^:*']+/[^:*']+:[^*']+$", var.subject))
    error_message = "Name the repository and its branch or environment in full; a * lets others in."
  }
}
