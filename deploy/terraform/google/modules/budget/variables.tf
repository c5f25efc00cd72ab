# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The system and its environment, which is the label `deployment`."
  type        = string
}

variable "billing_account" {
  description = "Who pays."
  type        = string
}

variable "monthly" {
  description = "What a month may cost."
  type        = number
}

variable "currency" {
  description = "Of the billing account."
  type        = string
}

variable "told" {
  description = "Addresses of email, five at most."
  type        = list(string)
}
