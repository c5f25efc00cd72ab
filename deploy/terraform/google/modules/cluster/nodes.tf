# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

resource "google_service_account" "node" {
  account_id   = var.node_account
  display_name = "Nodes of ${var.name}"
}

# Logs and metrics of nodes, and images: no more.
resource "google_project_iam_member" "node" {
  project = data.google_project.this.project_id
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.node.member
}

resource "google_artifact_registry_repository_iam_member" "node" {
  project    = var.registry.project
  location   = var.registry.location
  repository = var.registry.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.node.member
}

resource "google_container_node_pool" "this" {
  name     = "nodes"
  cluster  = google_container_cluster.this.name
  location = var.region

  # In all zones of the region together, as evenly as may be.
  autoscaling {
    total_min_node_count = var.nodes.least
    total_max_node_count = var.nodes.most
    location_policy      = "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  upgrade_settings {
    max_surge       = 1
    max_unavailable = 0
  }

  node_config {
    machine_type      = var.machine_type
    image_type        = "COS_CONTAINERD"
    disk_type         = "pd-balanced"
    disk_size_gb      = 80
    boot_disk_kms_key = var.key
    service_account   = google_service_account.node.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    labels            = var.labels

    # Pods ask for a token of their own, and do not reach the node's.
    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    metadata = {
      disable-legacy-endpoints = "true"
    }
  }

  depends_on = [google_project_iam_member.node]
}
