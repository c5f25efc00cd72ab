variable "registry" {
  description = "The repository of images."
  type        = object({ location = string, repository = string })
}

variable "subject" {
  description = "Which jobs of GitHub may push, as `repo:<owner>/<name>:ref:refs/heads/main`."
  type        = string
}
