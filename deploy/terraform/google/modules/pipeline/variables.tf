# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "registry" {
  description = "The repository of images."
  type        = object({ location = string, repository = string })
}

variable "subject" {
  description = "Which jobs of GitHub may push, as `repo:<owner>/<name>:ref:refs/heads/main`."
  type        = string
}
