# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

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
