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
