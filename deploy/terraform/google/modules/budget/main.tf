# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

# What an environment may cost. Nothing is switched off: people are told.
terraform {
  required_version = ">= 1.11"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

resource "google_monitoring_notification_channel" "told" {
  for_each     = toset(var.told)
  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = var.name

  budget_filter {
    labels = { deployment = var.name }
  }

  amount {
    specified_amount {
      currency_code = var.currency
      units         = tostring(var.monthly)
    }
  }

  dynamic "threshold_rules" {
    for_each = [
      { share = 0.8, basis = "CURRENT_SPEND" },
      { share = 1.0, basis = "CURRENT_SPEND" },
      { share = 1.1, basis = "FORECASTED_SPEND" },
    ]
    content {
      threshold_percent = threshold_rules.value.share
      spend_basis       = threshold_rules.value.basis
    }
  }

  all_updates_rule {
    monitoring_notification_channels = [for channel in google_monitoring_notification_channel.told : channel.id]
    disable_default_iam_recipients   = true
  }
}
