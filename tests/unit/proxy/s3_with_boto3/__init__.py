"""S3's API as boto3 sees it: the application on the object service in memory, over a real socket."""
