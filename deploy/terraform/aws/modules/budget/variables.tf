# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment, which is the tag's value."
  type        = string
}

variable "tag" {
  description = "The tag that all resources of an environment have."
  type        = string
}

variable "monthly_usd" {
  description = "What a month may cost, in US dollars."
  type        = number
}

variable "told" {
  description = "Addresses of email."
  type        = list(string)
  validation {
    condition     = length(var.told) > 0
    error_message = "Somebody has to be told."
  }
}
