variable "name" {
  description = "The system."
  type        = string
}

variable "registry" {
  description = "The ARN of the repository of images."
  type        = string
}

variable "subjects" {
  description = "Which jobs may push, as `repo:<owner>/<name>:ref:refs/heads/main`."
  type        = list(string)
}
